"""How a Plan is run: buffers, fused updates, answers kept; nothing here is for users."""
