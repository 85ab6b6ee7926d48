"""Weak and strong orders on nonlinear laws: quadrature backwards, and one path for all."""
