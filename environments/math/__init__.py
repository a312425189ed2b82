"""Math problems and their judge."""
