"""What runs kvwire and watches it: images, Prometheus, Grafana. Its Python writes files; none of it is installed."""
