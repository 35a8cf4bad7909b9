-- What is not over, by who drives it. Claims, wishes and freeing touch nothing else. `ended is null` is the form of that
-- condition which SQLite can prove from a query and which costs nothing to keep up. A list of statuses did neither.
create index run_live on run (engine, status, workflow, due) where ended is null;

-- second half
drop index run_open;
drop index run_workflow;
