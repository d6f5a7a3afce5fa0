"""From a posterior to what to train."""
