"""Rewrites the schemas of the kubernetes-validate wheel so that kubeconform resolves them from files.

Usage: kube-schemas.py FROM TO
"""

import json
import pathlib
import sys

source, target = map(pathlib.Path, sys.argv[1:3])
target.mkdir(parents=True)
count = 0
for path in source.glob("*.json"):
    # They refer to each other by a path on a server.
    text = path.read_text().replace('"$ref": "/api/_definitions.json#', '"$ref": "_definitions.json#')
    schema = json.loads(text)
    schema.pop("$schema", None)
    schema.pop("$id", None)
    (target / path.name).write_text(json.dumps(schema))
    count += 1
if count < 100:
    sys.exit(f"only {count} schemas in {source}")
