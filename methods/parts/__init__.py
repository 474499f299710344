"""What several methods share: prompt learners, losses, splits, mixing."""
