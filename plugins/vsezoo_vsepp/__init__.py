"""VSE++ (Faghri et al. 2018) and the sum-of-hinges and order-embedding baselines of its paper."""
