"""What people and programs see of a run; nothing here changes one."""
