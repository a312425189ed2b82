#!/bin/sh
# Two SRL updates of the demo sampled through vLLM, in the trainer's process and through a server. Wants CUDA and the
# extra `vllm`; with one GPU only the first half is run. Fails where an update, or the weights' way to vLLM, does.
set -eu
gpus=$(python -c "import torch; print(torch.cuda.device_count())")
[ "$gpus" -gt 0 ] || { echo "no CUDA device: training through vLLM cannot be tried here" >&2; exit 2; }
model=${1:-Qwen/Qwen2.5-Coder-0.5B-Instruct}
port=${2:-8000}
folder=$(mktemp -d)
train() {
    CUDA_VISIBLE_DEVICES=0 python -m harness.train demo name="$1" output="$folder" model.name="$model" model.dtype=bfloat16 \
        stages='[srl]' srl.trl.max_steps=2 srl.trl.save_steps=2 srl.trl.use_vllm=true srl.trl.vllm_mode="$1" $2
}
train colocate srl.trl.vllm_gpu_memory_utilization=0.3
if [ "$gpus" -gt 1 ]; then
    CUDA_VISIBLE_DEVICES=1 VLLM_SERVER_DEV_MODE=1 vllm serve "$model" --port "$port" --gpu-memory-utilization 0.9 \
        --weight-transfer-config '{"backend": "nccl"}' --logprobs-mode processed_logprobs --max-logprobs -1 &
    server=$!
    trap 'kill $server' EXIT
    train server "srl.trl.vllm_server_port=$port"
fi
echo "ok: $folder"
