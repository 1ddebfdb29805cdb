"""VSRN (Li et al. 2019): region features that are related to each other before they become one vector."""
