"""Following targets through moving tabletop scenes, against asking the model about every image."""
