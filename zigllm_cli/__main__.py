"""`python -m zigllm_cli` is the command `zigllm`."""

from zigllm_cli.app import main

if __name__ == "__main__":
    main()
