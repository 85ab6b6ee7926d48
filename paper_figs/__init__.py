"""The figures: one file a figure, with its data, its drawing and its claims."""

if __name__ == "paper_figs":
    raise ImportError("use 'import fokker.paper_figs' (this folder is part of the fokker package)")
