"""Backspace: a comment on GitHub becomes a pull request with evidence. This is the map.

The path of a run
    web.door        a delivery comes in: size, signature
    intake          genuine? for us? from whom? decided without I/O
    runs.store      delivery, run and queue entry in one transaction; then it is acknowledged
    runs.engine     one durable workflow per run, one step per stage; a killed process goes on from the last one
    pipeline        authorize, prepare, work, verify, publish
                    the host clones (github), the agent works (agent in a sandbox, its model behind the broker),
                    Backspace runs the checks (sandbox), the host takes a bundle, gates it and publishes (github)
    runs.store      each step's events are appended to one log
    pipeline.stages ends every run, however it went: with cli, runs.reporter, runs.janitor and runs.writer the only
                    places that catch what they do not know
    readers         the comment, the stream, the page and the terminal read that log and nothing else

Imports go downwards only; `[tool.importlinter]` in pyproject.toml has the layers, and who owns which library.

The modules
    cli             the command line: arguments in, exit code out
    cli_daytona     its command for Daytona's snapshot
    cli_doctor      its command that tries everything a deployment needs
    cli_keys        its commands for API keys
    cli_setup       its command that registers the GitHub App
    doctor          what that command tries, one thing after the other
    setup           the server of that other command, until there is an app
    wiring          settings to every part, once; the only place that names concrete classes
    web/            what people and GitHub reach: the door for deliveries, runs as JSON, stream and page
                    api  asked_for  code_request  connection  door  doorkeeper  forms  hardened  headers  hub
                    kept  openapi  operations  page_routes  patch_html  presenting  problems  registering
                    remembered  routes  run_access  run_actions  runs  schemas  server  session_cookie  setup_page
                    signing_in  sse  stream  throttle  visitor
    runs/           what we owe: the tables and the store, the durable engine, and those who read the event log
                    changes  database  delivery_log  engine  gathered  janitor  keys  label_work  labeller
                    lifecycle  listing  migrations  pacing  rates  reception  records  recovery  reporter
                    sandboxes  schema  sign_ins  starts  store  tables  view  workflows  writer
    terminal/       a Backspace elsewhere, from the terminal: the client, what it draws, its commands
                    answers  client  commands  lines  show
    pipeline/       what a run does: one module per stage, each safe to run twice
                    again  answering  authorize  commands  context  errands  failed_checks  heads
                    images  installations  job  labelled  outputs  prepare  publish  resolve  session
                    stages  steering  tree_scripts  verify  work
                    workplace
    agent/          who does the work: the prompt, the Claude Code program, its stream, how it ended
                    claude  command  ending  endings  hidden  marker  material  messages  parsing  prompt
                    stream
    broker/         the model, as a sandbox reaches it: a credential per run, counted and bounded
                    catalogue  exchange  meter  prices  proxy  requests  socket_server
    github/         the calls we make, with tokens and limits; and the git that the host does, up to the push
                    answers  app  app_check  attachments  calls  checkout  client  commits  diff  failures  gates
                    git  image_formats  job_logs  limits  oauth  publish  quarantine  refusals  registration
                    secrets  threads  tokens
    sandbox/        where repository code runs: the one Protocol, bubblewrap, the ways out
                    allow  bubblewrap  bwrap_options  cgroups  contained  egress  follow  installation  limits
                    living  pip_output  place  processes  proxy_request  registries  supervisor  transfer  uids
                    watchdog
    daytona/        the same Protocol's sandboxes on Daytona's cloud, and the snapshot that they start from
                    backend  building  calls  cloud  detached  failures  jobs  network  pace  patience  prices  probe
                    snapshot  snapshots  supervisor  trial
    intake/         what came in, decided: genuine, for us, from whom, under which rules; pure
                    access  branches  commands  errands  options  repo_config  triggers  webhook
    markdown/       Markdown from people and agents, as tokens
                    assets  characters  cutting  html_text  images  inline  linked  page_html  parsing  pieces  plain
                    references  sanitising
    redaction       secrets out of what is stored or posted
    wording/        every word people read on GitHub
                    amounts  comment  evidence  marker  names  outcome  outcomes  pull_request  refusals
                    replies
    telemetry       log lines and counters
    settings        the deployment's settings, or every problem with them at once
    dotenv_file     the `.env` file as we write it
    setting_types   the forms that values of settings have
    certificates    the authorities that our clients believe
    events          what a run says about itself: typed events, one codec
    model           the nouns
    diagnosis       one more of them: what `doctor` found
    errors          every exception raised on purpose
"""
