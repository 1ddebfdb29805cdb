"""VSRN (Li et al. 2019): reasoning over region features before they become one vector."""
