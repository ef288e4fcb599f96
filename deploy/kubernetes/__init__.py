"""Manifests for Kubernetes, and what makes one of them; docs/kubernetes.md tells how to use them."""
