"""Laws: statements about every registered sampler."""
