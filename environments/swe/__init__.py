"""SWE-bench instances and the verifier of their patches."""
