"""The load-balancing loss of a mixture of experts: part of a stage's loss only if its arguments ask for it.

TRL adds it at the coefficient of the model's configuration unless ``router_aux_loss_coef`` is set: a number
of pretraining, 0.001 unless the file says otherwise. With this loss rows cannot share prefixes, since it is a mean
over all tokens of a batch, in which a shared one would count once.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PreTrainedModel
from trl import GRPOConfig, SFTConfig

logger = logging.getLogger(__name__)


@contextmanager
def explicit_router_loss(args: SFTConfig | GRPOConfig, model: PreTrainedModel) -> Iterator[None]:
    """Make a trainer inside: the router's loss has the coefficient of ``args``, 0 if none is set. Log it.

    TRL's SFT also asks for the router's logits in the model's configuration, where ``generate`` finds them and fails,
    as its calls cannot compute that loss. Each call of the trainer's loss asks for them itself.
    """
    config = model.config.get_text_config()
    own = getattr(config, "router_aux_loss_coef", None)
    if own is None or not hasattr(config, "output_router_logits"):
        yield
        return
    if args.router_aux_loss_coef is None:
        args.router_aux_loss_coef = 0.0
    logger.warning(
        "mixture of experts: the router's loss has the coefficient %g (trl.router_aux_loss_coef); the model's own "
        "configuration names %g",
        args.router_aux_loss_coef,
        own,
    )
    yield
    config.output_router_logits = False
    if not args.router_aux_loss_coef:
        config.router_aux_loss_coef = own  # checkpoints keep it
