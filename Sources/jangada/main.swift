print("jangada")
