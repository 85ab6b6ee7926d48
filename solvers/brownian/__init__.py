"""One Brownian path by random access: a tree of bridges, with space-time areas."""
