"""A folder of parts as others find it: what its files are called, what its manifest says, and what is left in it."""

from serving.batch.upkeep.folder_checks import check_folder
from serving.batch.upkeep.kept_folder import KeptFolder
from serving.batch.upkeep.manifest import MANIFEST, manifest_of
from serving.batch.upkeep.part_names import part_name

__all__ = ["MANIFEST", "KeptFolder", "check_folder", "manifest_of", "part_name"]
