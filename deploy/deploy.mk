# The targets of deploy/, which the Makefile includes; `make` lists them. Those of the databases need Docker.
LOCAL := deploy/local
COMPOSE := docker compose --env-file $(LOCAL)/compose.env --file deploy/compose.yml
SYNC := sync env:SHOP_URL

# Where dbt finds the target: the variables of PostgreSQL's own programs, by default those of the database of `make up`.
DBT_IN := PGHOST=$(or $(PGHOST),127.0.0.1) PGPORT=$(or $(PGPORT),5434) PGUSER=$(or $(PGUSER),transformer) \
	PGDATABASE=$(or $(PGDATABASE),shop) PGPASSFILE=$(or $(PGPASSFILE),$(CURDIR)/$(LOCAL)/secrets/dbt.pgpass) \
	DBT_TARGET_PATH=$(CURDIR)/build/dbt/target DBT_LOG_PATH=$(CURDIR)/build/dbt/logs DBT_SEND_ANONYMOUS_USAGE_STATS=false
DBT_SHOP := --project-dir pipelines/shop/dbt --profiles-dir pipelines/shop/dbt

.PHONY: secrets docker build up down restart logs etl pipeline dbt-run dbt-test dbt-docs db-source db-target db-reset smoke

### Deployment (PROFILE=airflow, metrics or logs adds those services)

secrets: ## write random passwords into deploy/local, for their owner alone; what is there stays
	@deploy/prepare.sh $(LOCAL)

docker: secrets
	@docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1 || { \
	  echo "This needs Docker with its plugin compose, and a daemon at work: \`docker info\` says what is missing." >&2; \
	  exit 1; }

build: docker ## build the images (needs Docker, as all down to db-reset but dbt-*)
	$(COMPOSE) --profile '*' build

up: docker ## start the source on 127.0.0.1:5433 and the target on :5434, and wait until they are well
	$(COMPOSE) $(foreach profile,$(PROFILE),--profile $(profile)) up --detach --wait

down: docker ## stop all; data stays
	$(COMPOSE) --profile '*' down

restart: down up ## stop all, and start it again

logs: docker ## show what the services tell, until Ctrl-C
	$(COMPOSE) --profile '*' logs --follow --tail 100

etl: docker ## bring the source's tables into the target, which gets the tables it lacks
	$(COMPOSE) run --rm migrate $(SYNC) --migrate
	$(COMPOSE) run --rm etl $(SYNC)

pipeline: ## load, transform and test: etl, dbt-run, dbt-test, one after another
	$(MAKE) etl
	$(MAKE) dbt-run
	$(MAKE) dbt-test

dbt-run: $(DBT)/.ready ## build the shop's models in the target (PGHOST, PGPORT, PGUSER, PGDATABASE name another)
	$(DBT_IN) $(DBT)/bin/dbt run $(DBT_SHOP) $(ARGS)

dbt-test: $(DBT)/.ready ## test the shop's models there
	$(DBT_IN) $(DBT)/bin/dbt test $(DBT_SHOP) $(ARGS)

dbt-docs: $(DBT)/.ready ## write the documentation of the models into build/dbt/target
	$(DBT_IN) $(DBT)/bin/dbt docs generate $(DBT_SHOP) $(ARGS)

db-source: docker ## open psql in the source, as its administrator
	$(COMPOSE) exec source_db psql --username postgres shop

db-target: docker ## open psql in the target, as its administrator
	$(COMPOSE) exec target_db psql --username postgres shop

db-reset: docker ## remove both databases with all that is in them (YES=1)
	@test -n "$(YES)" || { echo "make db-reset: removes both databases for ever; say so: make db-reset YES=1" >&2; exit 2; }
	$(COMPOSE) --profile '*' down
	docker volume rm assay_source_data assay_target_data

smoke: docker ## start all in a project of its own, load, change, load again, read, back up, and remove it
	@deploy/smoke.sh
