# The targets of Prefect, which the Makefile includes; `make` lists them.
PORT := 4200
PREFECT_PLACE := build/prefect
OPERATE := $(PREFECT)/bin/python -m tools.prefect --place $(PREFECT_PLACE)
SERVED := --port $(PORT) $(if $(AUTH_FILE),--password-file $(AUTH_FILE))
N := 2

.PHONY: prefect-setup prefect-server prefect-start prefect-stop prefect-restart prefect-logs prefect-clean
.PHONY: setup-concurrency test-auth run-flow deploy-flows start-workers run-distributed run-ui

### Prefect (a server in build/prefect, on 127.0.0.1 alone; PREFECT_API_URL names another)

prefect-setup: setup-prefect ## the same as setup-prefect

prefect-server: $(PREFECT)/.ready ## serve until Ctrl-C (PORT=4200; AUTH_FILE=... holds user:password, to ask for)
	$(OPERATE) serve $(SERVED)

prefect-start: $(PREFECT)/.ready ## start the server in the background (PORT, AUTH_FILE)
	@$(OPERATE) start $(SERVED)

prefect-stop: ## stop the server; what it knows stays
	@! test -x $(PREFECT)/bin/python || $(OPERATE) stop

prefect-restart: $(PREFECT)/.ready ## stop the server, and start it again where it was
	@$(OPERATE) restart $(SERVED)

prefect-logs: $(PREFECT)/.ready ## show what the server tells, until Ctrl-C
	@$(OPERATE) logs

prefect-clean: ## stop the server, and remove all that it knows
	@! test -x $(PREFECT)/bin/python || $(OPERATE) clean

run-ui: $(PREFECT)/.ready ## tell where the server shows its pages; it is started where it is not at work
	@$(OPERATE) ui $(SERVED)

test-auth: $(PREFECT)/.ready ## try whether the server refuses who has no password
	@$(OPERATE) password

deploy-flows: $(PREFECT)/.ready ## put the deployments of assay.toml on the server
	@$(OPERATE) with assay deploy prefect

setup-concurrency: $(PREFECT)/.ready ## let 3 steps read databases at once, over all workers (LIMIT=3)
	@$(if $(LIMIT),ASSAY_DATABASE_LIMIT=$(LIMIT)) $(OPERATE) with python -m tools.prefect.limit

start-workers: $(PREFECT)/.ready ## run workers until Ctrl-C, each for one flow run at a time; who dies is started again (N=2, MOST=8 while there is more to do)
	@$(OPERATE) workers $(N) $(if $(MOST),--most $(MOST))

run-flow: $(PREFECT)/.ready ## run the fleet as a flow in one process, from nothing, in build/flow
	@$(PREFECT)/bin/python -m tools.prefect.demo flow

run-distributed: $(PREFECT)/.ready ## run the fleet on a server and workers, from nothing, in build/distributed (N=2)
	@$(PREFECT)/bin/python -m tools.prefect.demo distributed $(N)
