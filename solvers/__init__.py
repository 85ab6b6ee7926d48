"""Processes, grids, Plans and the samplers that are made of them."""

if __name__ == "solvers":
    raise ImportError("use 'import fokker.solvers' (this folder is part of the fokker package)")
