"""How good samples are: against a fine solution, against data, and in a classifier's eyes.

==================  ===============================================================================
``paired``          error to a fine solution from the same starts, with intervals and verdicts
``best``            who may be the best of many, from the same starts
``few``             intervals of few numbers, as wide as Student's
``kernel``          unbiased MMD with its variance; closed form between Gaussians
``sliced``          closed form of sliced W2 between Gaussians; how far two samples of one law are
``digits``          a classifier trained here: agreement, and distances in its features
``inception``       FID and KID through torchmetrics, where it and the weights are present
``summary``         all of them for one set of samples, as a plain record
==================  ===============================================================================
"""
