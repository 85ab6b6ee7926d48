"""What a sampler really does: orders, exact laws, distances, stability, certificates."""

if __name__ == "analysis":
    raise ImportError("use 'import fokker.analysis' (this folder is part of the fokker package)")
