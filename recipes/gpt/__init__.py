"""The GPT recipe's parts; start reading at model.py, arms.py and train.py."""
