"""How a density moves: residuals of the Fokker-Planck equation, and its solution on grids."""
