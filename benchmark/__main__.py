if __name__ == "__main__":
    from benchmark.processes import stopping

    try:
        stopping.handle()  # before the imports, which may be stopped as well
        from benchmark.cli.main import main

        main()
    except stopping.Stopped:
        stopping.end()
