"""VSE++ (Faghri et al. 2018)."""
