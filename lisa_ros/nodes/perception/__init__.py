"""The lifecycle node `perception`: frames come in, queries are asked about them, results go out.

The folders in the order in which they build on each other: `frames` (what the camera sends), `queries` (what is asked,
and about which frame), `clouds` (point clouds and boxes), `inference` (the model and its thread), `results` (messages
and publishers), `server` (who takes queries in and sees them through). `node.py` wires them together.
"""
