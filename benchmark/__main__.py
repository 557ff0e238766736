if __name__ == "__main__":
    from benchmark.processes import stopping

    try:
        stopping.handle()  # before the imports, which may be stopped as well
        from benchmark.cli.main import main

        try:
            main()
        except SystemExit as ended:
            stopping.done(ended.code)
            raise
    except stopping.Stopped:
        stopping.end()
