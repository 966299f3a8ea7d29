"""The page of the explorer, in Streamlit: one file per tab; what a tab shows is computed below."""
