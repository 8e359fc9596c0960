"""Private training: sampling, clipping, noise. Flat on purpose, so that an auditor reads it in one go."""
