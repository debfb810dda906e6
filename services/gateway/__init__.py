"""The gateway: the one front door. It knows who calls and where a path leads; it knows no business."""
