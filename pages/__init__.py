"""The pages. Only this file stands here: Streamlit would serve a page directly in this folder past the router."""
