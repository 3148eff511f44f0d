"""Datasets: catalog, readers, images, masks, splits, and what turns them into batches."""
