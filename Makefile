# make demo: animate sample photos.  make test, make slow, make lint: the checks.  make clean: remove what the others made.
# make simulated: simulated scenes, by a Blender in a virtual environment of its own.
# make studio: build the page that animates photos in the browser, and serve it on this machine.
# All but make clean set up .venv by themselves; PYTHON=python3.12 chooses the interpreter, PHOTO=... another photo.
PYTHON ?= python3
VENV ?= .venv
PHOTO ?= data/samples/dandelion.jpg
# Animated as well where no other photo is named.
MORE_PHOTOS := $(if $(filter data/samples/dandelion.jpg,$(PHOTO)),data/samples/blossom.jpg data/samples/basil.jpg)
OUTPUTS ?= outputs
SCENES ?= 6
PYTHON311 ?= python3.11
BLENDER_VENV ?= .venv-blender

BIN := $(VENV)/bin
# pip shows its progress on a terminal and keeps quiet in a log.
INSTALL := [ -t 1 ] && quiet= || quiet=--quiet; \
	$(BIN)/python -m pip install --disable-pip-version-check $$quiet -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test slow lint simulated studio clean

help:
	@echo "make demo    animate $(PHOTO) $(MORE_PHOTOS) into $(OUTPUTS)/ (PHOTO=path names another)"
	@echo "make test    run the tests, but for the slow ones"
	@echo "make slow    run the slow ones: several processes, kills, published networks, benchmarks, the GPU's rehearsal"
	@echo "make lint    run ruff and mypy"
	@echo "make simulated  install Blender into $(BLENDER_VENV), 1.1 GB, and make $(SCENES) simulated scenes in $(OUTPUTS)/"
	@echo "make studio  build the page that animates photos in the browser into $(OUTPUTS)/studio, and serve it here"
	@echo "make clean   remove $(VENV), $(BLENDER_VENV), $(OUTPUTS) and the tools' caches"
	@echo "The first call creates $(VENV) and installs the packages; PYTHON=python3.12 chooses the interpreter."

demo: $(VENV)/.installed
	$(BIN)/python generate.py $(PHOTO) -o $(OUTPUTS)/ --preview webp --show-motion \
		--viewer $(OUTPUTS)/$(basename $(notdir $(PHOTO))).html
	$(if $(MORE_PHOTOS),$(BIN)/python generate.py $(MORE_PHOTOS) -o $(OUTPUTS)/ --preview webp --show-motion)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist worksteal -m "not slow and not weights"

slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist worksteal -m "slow or weights"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

simulated: $(VENV)/.installed $(BLENDER_VENV)/.installed
	$(BIN)/python -m data.simulated --output $(OUTPUTS)/simulated --scenes $(SCENES) --split 1,0,0 \
		--blender-python $(BLENDER_VENV)/bin/python

studio: $(OUTPUTS)/studio/manifest.json
	$(BIN)/python -m app.studio serve $(OUTPUTS)/studio

# npm fetches onnxruntime for browsers. It is built anew where its code or the checkpoint has changed.
$(OUTPUTS)/studio/manifest.json: $(VENV)/.installed-studio $(wildcard models/pretrained/motion/* app/studio/*.py \
		app/studio/page/* app/studio/page/*/* app/viewer/*)
	$(BIN)/python -m app.studio build $(OUTPUTS)/studio

# A virtual environment whose creation was interrupted has no pip: it is made again.
$(VENV)/.installed: requirements.txt constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON) here; install Python 3.10 to 3.13 or name one: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1), Python 3.10 to 3.13 is needed; name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "error: $(PYTHON) has no venv module; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "creating $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "installing requirements.txt into $(VENV); on Linux PyTorch brings its CUDA libraries, about 5 GB in all"
	@$(INSTALL) -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@$(INSTALL) -r requirements-dev.txt
	@touch $@

$(VENV)/.installed-studio: requirements-studio.txt $(VENV)/.installed
	@$(INSTALL) -r requirements-studio.txt
	@touch $@

# Blender's package is for this version of Python alone.
$(BLENDER_VENV)/.installed: requirements-blender.txt
	@command -v $(PYTHON311) >/dev/null || { echo "error: no $(PYTHON311) here; install Python 3.11 or name one: make simulated PYTHON311=/path/to/python3.11" >&2; exit 1; }
	@$(BLENDER_VENV)/bin/python -m pip --version >/dev/null 2>&1 || { echo "creating $(BLENDER_VENV)"; $(PYTHON311) -m venv --clear $(BLENDER_VENV); }
	@$(BLENDER_VENV)/bin/python -m pip install --disable-pip-version-check --quiet -r requirements-blender.txt
	@touch $@

clean:
	rm -rf $(VENV) $(BLENDER_VENV) $(OUTPUTS) .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
