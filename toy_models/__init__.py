"""Exact models: laws whose score, denoiser, log-density and flow are known."""

if __name__ == "toy_models":
    raise ImportError("use 'import fokker.toy_models' (this folder is part of the fokker package)")
