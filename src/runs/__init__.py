"""Code that kinds of run share: configs, run directories, finished runs reopened, commands as steps."""
