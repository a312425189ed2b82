"""The learner: steps, action formats, rewards, training."""
