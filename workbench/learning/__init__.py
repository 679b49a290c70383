"""What learning is made of: the learner, the tasks it knows, losses and gradients."""
