"""TAAN's tables: twelve methods on Omniglot (saha table1), their seconds (saha table2)."""
