"""Validates the description of the outbound API: takes it and values for its schemas, as one JSON document; answers with
what is wrong with the description and whether each value fits."""

import json
import sys

import yaml
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

given = json.load(sys.stdin)
with open(given["description"], encoding="utf-8") as file:
    description = yaml.safe_load(file)
wrong = [error.message for error in OpenAPIV31SpecValidator(description).iter_errors()]
components = description["components"]
fits = []
for schema, value in given["values"]:
    # References within the schema lead to the description's components.
    validator = OAS31Validator({**components["schemas"][schema], "components": components})
    fits.append(validator.is_valid(value))
print(json.dumps({"wrong": wrong, "fits": fits}))
