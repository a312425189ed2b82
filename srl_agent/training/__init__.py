"""Training: SFT and SRL on TRL's trainers. Importing its modules imports torch; importing this does not."""
