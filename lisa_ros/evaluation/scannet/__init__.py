"""Many ScanNet scenes, one after the other or spread over machines: `lisa-ros eval scannet`."""
