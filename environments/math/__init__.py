"""Math problems and the verifier of their answers."""
