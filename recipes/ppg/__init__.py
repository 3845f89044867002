"""The PPG recipe's parts; start reading at data.py, model.py and arms.py."""
