.PHONY: run test check coverage format docs

run:        ## set up and hear the example recording
	sh scripts/run.sh

test:       ## set everything up, run all checks and tests
	sh scripts/test.sh

check:      ## the checks without the tests, in the present environment
	ruff check . && ruff format --check . && mypy && lint-imports --no-cache

coverage:   ## how much of the runtime the tests reach
	sh scripts/coverage.sh

docs:       ## the pages that the code writes, and the site in build/site
	python scripts/reference.py && sh scripts/docs.sh

format:     ## what can be put right by machine
	ruff check --fix . ; ruff format .
