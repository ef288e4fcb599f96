"""Pictures of the dashboards, drawn by kvwire from their own queries; ``make dashboard-previews`` writes them.

May import everything of the project, for it starts a pair and drives a load. Needs Prometheus and Chromium.
"""
