# Everything on a machine that has python3, git and make; the first call sets up what it needs. See `make help`.
.DEFAULT_GOAL := help
.PHONY: help setup demo console evaluate docs test lint clean
# Empty: that of .venv, or python3
PYTHON ?=
# Empty: that of .venv, or cuda; cpu takes wheels without CUDA's libraries, from TORCH_INDEX too
TORCH ?=
TORCH_INDEX ?=
BIN := .venv/bin
# Set by ROS wheels of another environment; inherited, it makes python load that one's libraries.
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE

help:
	@echo "make setup     set up .venv: apt libraries (where it may), Python wheels, the messages; quick the second time"
	@echo "make demo      start camera and perception, ask questions about a scene; answers and pictures in out/demo"
	@echo "make console   simulated camera, perception node and web page to watch and ask them; ARGS='port:=8090' changes some"
	@echo "make evaluate  replay a recording to the node, in lockstep and in real time; report in out/evaluation"
	@echo "make test      lint, then every test; PYTEST_ARGS='-m unit -k masks' narrows it"
	@echo "make lint      ruff"
	@echo "make docs      the documentation as a site, in out/site; installs what makes it the first time"
	@echo "make clean     remove what was built and written here, .venv included"
	@echo
	@echo "PYTHON=python3.12 make ...   use another interpreter (3.11 or newer)"
	@echo "make TORCH=cpu TORCH_INDEX=URL ...   torch without CUDA, 3 GB in place of 9; URL: an index that has it"

setup:
	@PYTHON="$(PYTHON)" TORCH="$(TORCH)" TORCH_INDEX="$(TORCH_INDEX)" scripts/setup.sh

demo: setup
	@$(BIN)/lisa-ros demo --out out/demo

console: setup
	@$(BIN)/lisa-ros up camera:=simulator console:=true $(ARGS)

evaluate: setup
	@$(BIN)/lisa-ros eval bag --out out/evaluation

docs: setup
	@$(BIN)/python -c "import mkdocstrings, material" 2>/dev/null || \
		$(BIN)/python -m pip install -q -r requirements/docs.txt -c requirements/constraints.txt
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "out/site/index.html"

lint: setup
	@$(BIN)/ruff check .

test: lint
	@scripts/test.sh $(PYTEST_ARGS)

clean:
	rm -rf .venv build install log out *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
