def draw_figures(session, runs):
    pass
